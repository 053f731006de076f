"""Network definitions: nothing here knows of files, training or Streamlit."""

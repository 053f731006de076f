"""What a person says about a result, and how it is applied."""

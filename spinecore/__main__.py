"""Entry point of `python -m spinecore`."""

from spinecore.cli import main

if __name__ == "__main__":
    main()

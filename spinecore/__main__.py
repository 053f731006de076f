"""Entry point of `python -m spinecore`."""

from spinecore.cli.main import main

if __name__ == "__main__":
    main()

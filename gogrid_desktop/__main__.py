"""`python -m gogrid_desktop` is the command `gogrid`."""

from gogrid_desktop.cli.main import main

if __name__ == "__main__":
    main()

"""`python -m gogrid_desktop` is the command `gogrid`."""

from gogrid_desktop.cli.app import main

if __name__ == "__main__":
    main()

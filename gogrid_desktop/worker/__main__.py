"""`python -m gogrid_desktop.worker`: started by the agent, spoken to on standard input."""

from gogrid_desktop.worker.main import main

if __name__ == "__main__":
    main()

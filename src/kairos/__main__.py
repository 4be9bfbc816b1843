"""`python -m kairos <command> ...` is `kairos <command> ...`."""

from kairos.entry.start import main

if __name__ == "__main__":
    main()

"""The `clamp-mmpose` command: `cli` finds the subcommand, one module each holds it."""

"""What `aliquot new` makes: `project` decides and writes, `files` holds the project with places to fill."""

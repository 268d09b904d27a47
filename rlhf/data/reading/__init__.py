"""How each kind of file is read: as a stream, within bounds, every record with the place where it can be found."""

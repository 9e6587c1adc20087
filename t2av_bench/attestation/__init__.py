"""Whether the lip-sync pipeline on this machine gives published values, and a certificate that says so."""

"""What people read: tables of runs, in the formats that papers, pull requests and spreadsheets take."""

"""Tools of the repository itself: tables and gallery of its documentation."""

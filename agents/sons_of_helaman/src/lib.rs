//! sons_of_helaman

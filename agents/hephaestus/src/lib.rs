//! hephaestus

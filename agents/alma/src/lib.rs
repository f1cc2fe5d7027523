//! alma

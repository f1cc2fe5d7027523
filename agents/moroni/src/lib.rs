//! moroni

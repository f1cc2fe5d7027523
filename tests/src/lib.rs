//! alma-tests

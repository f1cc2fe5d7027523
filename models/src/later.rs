//! Values that are made on a thread of their own while nobody needs them yet.

use std::sync::{Arc, OnceLock};

/// A value that may not be there yet.
pub(crate) struct Later<T>(Arc<Inner<T>>);

struct Inner<T> {
    value: OnceLock<T>,
    make: Box<dyn Fn() -> T + Send + Sync>,
}

impl<T> Inner<T> {
    fn get(&self) -> &T {
        self.value.get_or_init(&self.make)
    }
}

impl<T: Send + Sync + 'static> Later<T> {
    /// Begins to make a value.
    pub(crate) fn new(make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        let inner = Arc::new(Inner { value: OnceLock::new(), make: Box::new(make) });
        let own = Arc::clone(&inner);
        // Without a thread, whoever needs the value first makes it.
        let _ = std::thread::Builder::new().spawn(move || {
            own.get();
        });
        Self(inner)
    }

    /// The value; waits for it.
    pub(crate) fn get(&self) -> &T {
        self.0.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_value_is_made_once_whoever_asks() {
        let made = Arc::new(AtomicUsize::new(0));
        let own = Arc::clone(&made);
        let later = Later::new(move || own.fetch_add(1, Ordering::SeqCst) + 7);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(*later.get(), 7));
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }
}

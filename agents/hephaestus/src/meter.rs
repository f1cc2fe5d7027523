//! What work in this process uses, as the kernel counts it.
//!
//! A call runs on one thread from its beginning to its end, so the thread's own
//! clock tells its processor time, whatever else the process does. Memory cannot be
//! told apart by thread: what counts is the size of the process while the call
//! runs, at its beginning, at its end, and every time that its guard looks.

use crate::sandbox::{Whose, page_bytes, used};
use charter::budget::Meter;

/// Microseconds of processor time of the calling thread so far.
pub fn thread_cpu_us() -> u64 {
    // The kernel refuses this question to nobody.
    used(Whose::Thread).unwrap_or_default().cpu_us
}

/// Resident memory of this process now, in bytes.
pub(crate) fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok().and_then(|text| {
        let resident = text.split_ascii_whitespace().nth(1)?;
        resident.parse::<u64>().ok()
    });
    // Without /proc nothing is told.
    pages.unwrap_or(0).saturating_mul(page_bytes())
}

/// The most memory that this process ever held, in bytes.
fn highest_bytes() -> u64 {
    used(Whose::Process).unwrap_or_default().peak_bytes
}

/// Carries out a call on this thread and counts what it uses, also when it breaks off.
pub(crate) fn measured<T>(meter: &Meter, call: impl FnOnce() -> T) -> T {
    struct Begun<'m> {
        meter: &'m Meter,
        cpu_us: u64,
        highest: u64,
    }
    impl Drop for Begun<'_> {
        fn drop(&mut self) {
            self.meter.cpu(thread_cpu_us().saturating_sub(self.cpu_us));
            let highest = highest_bytes();
            self.meter.memory(match highest > self.highest {
                true => highest,
                false => resident_bytes(),
            });
        }
    }
    meter.memory(resident_bytes());
    let _begun = Begun { meter, cpu_us: thread_cpu_us(), highest: highest_bytes() };
    call()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_thread_pays_for_its_own_work_only() {
        let meter = Meter::default();
        let until = Instant::now() + Duration::from_millis(200);
        let other = std::thread::spawn(move || while Instant::now() < until {});
        let began = thread_cpu_us();
        measured(&meter, || {
            let mut sum = 0_u64;
            while thread_cpu_us() < began + 50_000 {
                sum = sum.wrapping_mul(31).wrapping_add(1);
            }
            sum
        });
        other.join().unwrap();
        let cpu = meter.cpu_us();
        assert!((50_000..80_000).contains(&cpu), "{cpu}");
    }

    #[test]
    fn memory_that_was_given_back_is_told() {
        let meter = Meter::default();
        measured(&meter, || {
            let mut bytes = vec![0_u8; 256 << 20];
            bytes.iter_mut().step_by(4_096).for_each(|byte| *byte = 1);
            drop(std::hint::black_box(bytes));
        });
        let peak = meter.usage().peak_bytes;
        assert!((256 << 20..1 << 30).contains(&peak), "{peak}");
    }

    #[test]
    fn what_breaks_off_is_counted() {
        let meter = Meter::default();
        let began = thread_cpu_us();
        let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            measured(&meter, || {
                while thread_cpu_us() < began + 20_000 {}
                panic!("a planned panic");
            })
        }));
        assert!(broken.is_err() && meter.cpu_us() >= 20_000);
    }
}

//! Zeroed memory for weights and conversations: aligned for the kernels, in large
//! pages where the system has them, and untouched until it is written to.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

/// Bytes of a large page, on which large memory begins.
const LARGE: usize = 2 << 20;
/// Bytes of a page.
const PAGE: usize = 4 << 10;
/// Bytes of a cache line.
const LINE: usize = 64;

/// Bytes, all zero at first.
#[derive(Debug)]
pub(crate) struct Memory {
    from: NonNull<u8>,
    layout: Layout,
}

// SAFETY: it owns its bytes, as a vector does.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// So many bytes; `None` if there is no room.
    pub(crate) fn zeroed(bytes: usize) -> Option<Self> {
        let align = if bytes >= LARGE { LARGE } else { LINE };
        // What is behind the last large page takes small ones.
        let size = bytes.max(1).checked_next_multiple_of(PAGE)?;
        let layout = Layout::from_size_align(size, align).ok()?;
        // SAFETY: the layout is not empty.
        let from = NonNull::new(unsafe { map(layout) })?;
        Some(Self { from, layout })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: they are there, and initialised.
        unsafe { std::slice::from_raw_parts(self.from.as_ptr(), self.layout.size()) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.from.as_ptr(), self.layout.size()) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: made by `map` with this layout.
        unsafe { unmap(self.from.as_ptr(), self.layout) }
    }
}

/// Fresh pages of the system are zero already, and cost nothing until they are
/// used; large ones save the processor from looking up each small one.
#[cfg(target_os = "linux")]
unsafe fn map(layout: Layout) -> *mut u8 {
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
    if layout.align() < LARGE {
        // SAFETY: the layout is not empty.
        return unsafe { alloc_zeroed(layout) };
    }
    let room = layout.size() + LARGE;
    // SAFETY: memory that nobody has; what lies before and behind the large pages is
    // given back.
    unsafe {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        let Ok(all) =
            mmap_anonymous(std::ptr::null_mut(), room, ProtFlags::READ | ProtFlags::WRITE, flags)
        else {
            return std::ptr::null_mut();
        };
        let before = all.cast::<u8>().align_offset(LARGE);
        let from = all.cast::<u8>().add(before);
        // Pages that cannot be given back, or made large, are only slower.
        if before > 0 {
            let _ = munmap(all, before);
        }
        let behind = room - before - layout.size();
        if behind > 0 {
            let _ = munmap(from.add(layout.size()).cast(), behind);
        }
        let _ = madvise(from.cast(), layout.size(), Advice::LinuxHugepage);
        from
    }
}

#[cfg(target_os = "linux")]
unsafe fn unmap(from: *mut u8, layout: Layout) {
    // SAFETY: made by `map` with this layout.
    unsafe {
        if layout.align() < LARGE {
            dealloc(from, layout);
        } else {
            let _ = rustix::mm::munmap(from.cast(), layout.size());
        }
    }
}

#[cfg(not(target_os = "linux"))]
unsafe fn map(layout: Layout) -> *mut u8 {
    // SAFETY: the layout is not empty.
    unsafe { alloc_zeroed(layout) }
}

#[cfg(not(target_os = "linux"))]
unsafe fn unmap(from: *mut u8, layout: Layout) {
    // SAFETY: made by `map` with this layout.
    unsafe { dealloc(from, layout) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_every_size_is_aligned_zero_and_its_own() {
        for size in [0, 1, 63, 5_000, LARGE - 1, LARGE, 3 * LARGE + 17] {
            let mut memory = Memory::zeroed(size).unwrap();
            assert!(memory.bytes().len() >= size && memory.bytes().iter().all(|byte| *byte == 0));
            assert_eq!(memory.bytes().as_ptr().align_offset(LINE), 0);
            memory.bytes_mut().fill(7);
        }
        assert!(Memory::zeroed(usize::MAX / 2).is_none());
    }
}

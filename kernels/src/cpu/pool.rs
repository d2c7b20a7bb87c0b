//! Vectors that are used again.
//!
//! A fresh large vector comes from the operating system page by page, and touching a page for the first time costs
//! more than most kernels spend on it. So tensors take their memory here and give it back when they die.

use super::par;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

/// Vectors below this length are the allocator's business: it keeps small blocks itself.
const SMALL: usize = 1024;
/// At most this many numbers lie idle (1 GiB).
const KEEP: usize = 1 << 28;

struct Idle {
    /// By size class: vectors whose capacity is at least that of the class.
    classes: [Vec<Vec<f32>>; CLASSES],
    /// The sum of their capacities.
    total: usize,
}

const CLASSES: usize = 4 * 64;

static IDLE: Mutex<Idle> = Mutex::new(Idle { classes: [const { Vec::new() }; CLASSES], total: 0 });

fn idle() -> std::sync::MutexGuard<'static, Idle> {
    IDLE.lock().unwrap_or_else(|e| e.into_inner())
}

/// The largest class whose vectors fit in `capacity`, and what they hold. Four classes for each power of two
/// (1, 1¼, 1½ and 1¾ times it), so at most a fifth of a vector is waste.
fn class_below(capacity: usize) -> (usize, usize) {
    let power = capacity.ilog2();
    let quarter = 1 << (power - 2);
    let quarters = capacity / quarter; // 4..=7
    (power as usize * 4 + quarters - 4, quarters * quarter)
}

/// The smallest class that holds `len`, and what its vectors hold.
fn class_above(len: usize) -> (usize, usize) {
    let (class, size) = class_below(len);
    if size == len { (class, size) } else { class_below(size + (1 << (len.ilog2() - 2))) }
}

/// Classes in which vectors are less than twice as large as in the first of them.
const NEAR: usize = 4;

impl Idle {
    fn pop(&mut self, class: usize) -> Option<Vec<f32>> {
        let vec = self.classes[class].pop()?;
        self.total -= vec.capacity();
        Some(vec)
    }

    /// A vector of that class, or one that is not much larger. If there is none, smaller ones go for the one that will
    /// be made: where every batch has another size, each would else leave vectors that no later batch can use.
    fn take(&mut self, class: usize, size: usize) -> Option<Vec<f32>> {
        let found = (class..CLASSES.min(class + NEAR)).find_map(|class| self.pop(class));
        if found.is_none() {
            let mut freed = 0;
            for class in (class.saturating_sub(NEAR)..class).rev() {
                while freed < size
                    && let Some(vec) = self.pop(class)
                {
                    freed += vec.capacity();
                }
            }
        }
        found
    }
}

/// A vector of `len` numbers of any value: for outputs that are written whole.
pub fn take(len: usize) -> Vec<f32> {
    if len < SMALL {
        return vec![0.0; len];
    }
    let (class, size) = class_above(len);
    let found = idle().take(class, size);
    let mut vec = found.unwrap_or_else(|| vec![0.0; size]);
    vec.resize(len, 0.0); // within its capacity
    vec
}

/// Hands a vector back.
pub fn give(vec: Vec<f32>) {
    if vec.capacity() < SMALL {
        return;
    }
    let (class, _) = class_below(vec.capacity());
    let mut idle = idle();
    if idle.total + vec.capacity() <= KEEP {
        idle.total += vec.capacity();
        idle.classes[class].push(vec);
    }
}

/// Lets idle memory go, where a load or a stage has left much of it in sizes that nobody will ask for again.
pub fn release_pool() {
    let mut idle = idle();
    idle.classes.iter_mut().for_each(|class| *class = Vec::new());
    idle.total = 0;
}

/// A vector of `len` times the same number.
pub fn full(len: usize, value: f32) -> Vec<f32> {
    let mut vec = take(len);
    par::rows(len, par::grain(1), [(&mut vec, 1)], |_, [piece]| piece.fill(value));
    vec
}

/// A copy of `data`.
pub fn copy(data: &[f32]) -> Vec<f32> {
    let mut vec = take(data.len());
    vec.copy_from_slice(data);
    vec
}

/// A vector that goes back to the pool when it dies.
pub struct Pooled(Vec<f32>);

impl From<Vec<f32>> for Pooled {
    fn from(data: Vec<f32>) -> Pooled {
        Pooled(data)
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        give(std::mem::take(&mut self.0));
    }
}

impl Deref for Pooled {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_they_promise() {
        for len in 1024..70_000 {
            let (above, size) = class_above(len);
            assert!(size >= len && size * 4 <= len * 5, "{len} in {size}");
            assert_eq!(class_below(size), (above, size));
            assert!(class_below(len).1 <= len);
        }
    }

    #[test]
    fn a_vector_comes_back() {
        let len = (1 << 20) + 3; // no other test asks for this class
        let vec = take(len);
        let at = vec.as_ptr();
        give(vec);
        let again = take(len + 100);
        assert_eq!((again.as_ptr(), again.len()), (at, len + 100));
        assert!(full(len, 0.0).iter().all(|&x| x == 0.0));
    }
}

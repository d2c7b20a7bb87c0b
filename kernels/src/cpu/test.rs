//! What the tests of the CPU kernels share.

/// Numbers in [-1, 1] that repeat with no visible period.
pub fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut x = seed.wrapping_mul(2_654_435_769).wrapping_add(1);
    let mut next = || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

pub fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| x as f64).collect()
}

/// |got − want| ≤ tolerance · max(1, |want|) for every element, and NaN where NaN is wanted.
#[track_caller]
pub fn close(name: &str, got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{name}");
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let error = (got as f64 - want).abs();
        let both_nan = got.is_nan() && want.is_nan();
        assert!(both_nan || error <= tolerance * want.abs().max(1.0), "{name} at {i}: {got} for {want}");
    }
}

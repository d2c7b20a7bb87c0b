//! Moving rows: transposition.

/// out[k * width + j] = from[j * stride + k] for j < `rows`, k < `depth`: in squares, so that both sides stay in
/// the cache lines at hand.
pub fn transpose(from: &[f32], stride: usize, rows: usize, depth: usize, out: &mut [f32], width: usize) {
    const SIDE: usize = 16;
    for k0 in (0..depth).step_by(SIDE) {
        let kn = SIDE.min(depth - k0);
        for j0 in (0..rows).step_by(SIDE) {
            for j in j0..rows.min(j0 + SIDE) {
                let line = &from[j * stride + k0..][..kn];
                let out = &mut out[k0 * width..];
                for (k, &x) in line.iter().enumerate() {
                    out[k * width + j] = x;
                }
            }
        }
    }
}

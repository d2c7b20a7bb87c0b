//! The readable loops.

/// The upper 16 bits of `x` after rounding to nearest, ties to even. NaN stays NaN.
pub fn round(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits as u64 + 0x7fff + ((bits >> 16) & 1) as u64) >> 16) as u16
}

/// Two numbers to a word, each rounded.
pub fn pack(x: &[f32], words: &mut [u32]) {
    for (word, pair) in words.iter_mut().zip(x.chunks(2)) {
        let high = pair.get(1).map_or(0, |&x| round(x));
        *word = round(pair[0]) as u32 | (high as u32) << 16;
    }
}

/// The numbers of such words.
pub fn unpack(words: &[u32], y: &mut [f32]) {
    for (i, y) in y.iter_mut().enumerate() {
        *y = f32::from_bits((words[i / 2] >> (16 * (i % 2))) << 16);
    }
}

// Philox4x32-10 (Salmon et al. 2011): the same integers as kernels/src/rng.rs.

// High and low half of a 64-bit product, from 16-bit halves: WGSL has no wide multiply.
fn wide_mul(a: u32, b: u32) -> vec2u {
    let al = a & 0xffffu;
    let ah = a >> 16u;
    let bl = b & 0xffffu;
    let bh = b >> 16u;
    let low = al * bl;
    let mid = ah * bl + (low >> 16u);          // at most 2^32 - 2^16: no overflow
    let mid2 = al * bh + (mid & 0xffffu);
    return vec2u(ah * bh + (mid >> 16u) + (mid2 >> 16u), a * b);
}

fn philox(counter: vec4u, start: vec2u) -> vec4u {
    var c = counter;
    var key = start;
    for (var round = 0u; round < 10u; round++) {
        let p0 = wide_mul(0xd2511f53u, c.x);
        let p1 = wide_mul(0xcd9e8d57u, c.z);
        c = vec4u(p1.x ^ c.y ^ key.x, p1.y, p0.x ^ c.w ^ key.y, p0.y);
        key += vec2u(0x9e3779b9u, 0xbb67ae85u);
    }
    return c;
}

// A random word as a number in (0, 1).
fn unit(word: u32) -> f32 {
    return (f32(word >> 9u) + 0.5) * (1.0 / 8388608.0);
}

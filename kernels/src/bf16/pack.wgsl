// words[i] = bf16 of x[2i], and of x[2i + 1] in the high half. To nearest, ties to even; NaN stays NaN.
struct Params { n: u32, words: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> words: array<u32>;

fn rounded(bits: u32) -> u32 {
    if ((bits & 0x7fffffffu) > 0x7f800000u) { return (bits >> 16u) | 0x40u; }
    return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = group_of(id, grid) * 256u + lane;
    if (i >= p.words) { return; }
    var word = rounded(x[2u * i]);
    if (2u * i + 1u < p.n) { word |= rounded(x[2u * i + 1u]) << 16u; }
    words[i] = word;
}

// Causal attention within segments, for heads of size D, 64 rows a workgroup. SHARE invocations own a row. A row of qkv holds H query
// heads, then G key heads, then G value heads. No [N, N] array: keys pass through workgroup memory.
struct Params { n: u32, q: u32, kv: u32, scale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;
@group(0) @binding(2) var<storage, read> first: array<u32>;     // first row that each row sees

const ROWS = 64u;
const THREADS = ROWS * SHARE;
const D4 = (D + 3u) / 4u;
const OWN = D4 / SHARE;                         // an invocation's numbers of a head: 4 (own + i SHARE)..+4
const KEYS = min(64u, 512u / D4);               // two tiles of them fill 16 KiB
const FAR = -1e30;                              // WGSL has no infinity
var<workgroup> ta: array<vec4f, KEYS * D4>;
var<workgroup> tb: array<vec4f, KEYS * D4>;
const_assert 2u * KEYS * D4 * 16u <= 16384u;

// Numbers 4d..4d+4 of a head that starts at `at`; 0 beyond its end.
fn head4(at: u32, d: u32) -> vec4f {
    let i = at + 4u * d;
    if (D % 4u == 0u || 4u * d + 3u < D) {
        return vec4f(qkv[i], qkv[i + 1u], qkv[i + 2u], qkv[i + 3u]);
    }
    var v = vec4f(qkv[i], 0.0, 0.0, 0.0);
    if (4u * d + 1u < D) { v.y = qkv[i + 1u]; }
    if (4u * d + 2u < D) { v.z = qkv[i + 2u]; }
    return v;
}

fn width() -> u32 { return (p.q + 2u * p.kv) * D; }
fn query_at(row: u32, head: u32) -> u32 { return row * width() + head * D; }
fn key_at(row: u32, g: u32) -> u32 { return row * width() + (p.q + g) * D; }
fn value_at(row: u32, g: u32) -> u32 { return row * width() + (p.q + p.kv + g) * D; }

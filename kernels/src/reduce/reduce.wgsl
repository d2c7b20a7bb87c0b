// part[group] = Σ of a strided share of f(a, b): op 0 is a, 1 is a·b, 2 counts what is not finite.
// A second run over the parts makes the sum. Always in the same order.
struct Params { n: u32, op: u32, groups: u32, to: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> part: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    var some = 0.0; // up to 32 terms, added up apart: the error of a sum grows with the number of its terms
    var terms = 0u;
    for (var i = group.x * THREADS + lane; i < p.n; i += p.groups * THREADS) {
        if (p.op == 0u) { some += a[i]; }
        else if (p.op == 1u) { some += a[i] * b[i]; }
        else {
            // by bits: some drivers say that NaN equals itself
            some += select(0.0, 1.0, (bitcast<u32>(a[i]) & 0x7f800000u) == 0x7f800000u);
        }
        terms += 1u;
        if (terms == 32u) {
            sum += some;
            some = 0.0;
            terms = 0u;
        }
    }
    let all = total(lane, sum + some);
    if (lane == 0u) { part[p.to + group.x] = all; }
}

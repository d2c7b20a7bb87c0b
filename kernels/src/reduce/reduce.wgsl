// part[group] = Σ of a strided share of f(a, b): op 0 is a, 1 is a·b, 2 counts what is not finite.
// A second run over the parts makes the sum. Always in the same order; an invocation adds up 32 terms at a time, and
// those sums, so that a long sum is as exact as a short one.
struct Params { n: u32, op: u32, groups: u32, to: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> part: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let step = p.groups * THREADS;
    var sum = 0.0;
    for (var start = group.x * THREADS + lane; start < p.n; start += 32u * step) {
        var run = 0.0;
        for (var i = start; i < min(p.n, start + 32u * step); i += step) {
            if (p.op == 0u) { run += a[i]; }
            else if (p.op == 1u) { run += a[i] * b[i]; }
            else {
                // by bits: some drivers say that NaN equals itself
                run += select(0.0, 1.0, (bitcast<u32>(a[i]) & 0x7f800000u) == 0x7f800000u);
            }
        }
        sum += run;
    }
    let all = total(lane, sum);
    if (lane == 0u) { part[p.to + group.x] = all; }
}

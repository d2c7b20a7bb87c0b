// Draws one id from each row of logits [R, V]: the arg max of logits / t plus Gumbel noise, among what
// top-k and top-p leave in. out[r] = id, out[all + r] = bits of its log-probability. One row a workgroup;
// the rows here begin with row `first`.
struct Params { rows: u32, cols: u32, key0: u32, key1: u32, greedy: u32, t: f32, top_k: u32, top_p: f32, first: u32, all: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> streams: array<u32>;
@group(0) @binding(3) var<storage, read> positions: array<u32>;
@group(0) @binding(4) var<storage, read_write> out: array<u32>;

var<workgroup> ids: array<u32, THREADS>;

// Numbers as words that sort the same way.
fn order(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

// -ln u for u = unit(word). Near 1, where the noise that wins is made, log(u) of a GPU has few right
// digits; 1 - u is exact there, and -ln(1 - w) = 2 artanh(w / (2 - w)).
fn minus_log_unit(word: u32) -> f32 {
    let w = (f32(8388607u - (word >> 9u)) + 0.5) * (1.0 / 8388608.0);
    if (w > 0.25) { return -log(unit(word)); }
    let s = w / (2.0 - w);
    let q = s * s;
    return 2.0 * s * (1.0 + q * (1.0 / 3.0 + q * (0.2 + q * (1.0 / 7.0 + q / 9.0))));
}

// The largest word `floor` such that what lies at or above it counts (by = 0) or weighs (by = 1) at
// least `want`: one bit after the other, from the top.
fn threshold(lane: u32, at: u32, lse: f32, by: u32, want: f32) -> u32 {
    var floor = 0u;
    for (var bit = 0x80000000u; bit > 0u; bit >>= 1u) {
        var mine = 0.0;
        for (var v = lane; v < p.cols; v += THREADS) {
            let x = logits[at + v] / p.t;
            if (order(x) >= (floor | bit)) { mine += select(1.0, exp(x - lse), by == 1u); }
        }
        if (total(lane, mine) >= want) { floor |= bit; }
    }
    return floor;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let row = group_of(id, grid);
    if (row >= p.rows) { return; }
    let at = row * p.cols;
    var most = -3e38;
    for (var v = lane; v < p.cols; v += THREADS) { most = max(most, logits[at + v] / p.t); }
    most = largest(lane, most);
    var sum = 0.0;
    for (var v = lane; v < p.cols; v += THREADS) { sum += exp(logits[at + v] / p.t - most); }
    let lse = most + log(total(lane, sum));
    var floor = 0u;
    if (p.top_k > 0u && p.top_k < p.cols) { floor = threshold(lane, at, lse, 0u, f32(p.top_k)); }
    if (p.top_p < 1.0) {
        // of what top-k left in
        var mine = 0.0;
        for (var v = lane; v < p.cols; v += THREADS) {
            let x = logits[at + v] / p.t;
            if (order(x) >= floor) { mine += exp(x - lse); }
        }
        floor = max(floor, threshold(lane, at, lse, 1u, p.top_p * total(lane, mine)));
    }

    var best = -3e38;
    var best_id = 0xffffffffu;
    for (var block = lane; 4u * block < p.cols; block += THREADS) {
        let words = philox(vec4u(block, positions[p.first + row], streams[p.first + row], 0u), vec2u(p.key0, p.key1));
        for (var j = 0u; j < 4u && 4u * block + j < p.cols; j++) {
            let x = logits[at + 4u * block + j] / p.t;
            var noisy = x;
            if (p.greedy == 0u) { noisy = x - log(minus_log_unit(words[j])); }
            if (order(x) >= floor && (best_id == 0xffffffffu || noisy > best)) {
                best = noisy;
                best_id = 4u * block + j;
            }
        }
    }
    lanes[lane] = best;
    ids[lane] = best_id;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            let other = lanes[lane + half];
            let wins = other > lanes[lane] || (other == lanes[lane] && ids[lane + half] < ids[lane]);
            if (wins) {
                lanes[lane] = other;
                ids[lane] = ids[lane + half];
            }
        }
    }
    if (lane == 0u) {
        let chosen = min(ids[0], p.cols - 1u);
        out[p.first + row] = chosen;
        out[p.all + p.first + row] = bitcast<u32>(logits[at + chosen] / p.t - lse);
    }
}

// `total` and `largest` with subgroups: a subgroup adds up in registers, its first invocation leaves the sum,
// and everybody adds those few. Two barriers instead of two and one for every halving.
// Takes neighbouring invocations to form a subgroup; where they do not, the check of rungs finds out.
var<workgroup> lanes: array<f32, THREADS>;

fn total(lane: u32, value: f32) -> f32 {
    let size = subgroupAdd(1u);
    let part = subgroupAdd(value);
    if (subgroupExclusiveAdd(1u) == 0u) { lanes[lane / size] = part; }
    workgroupBarrier();
    var sum = 0.0;
    for (var i = 0u; i < THREADS / size; i++) { sum += lanes[i]; }
    workgroupBarrier();
    return sum;
}

fn largest(lane: u32, value: f32) -> f32 {
    let size = subgroupAdd(1u);
    let part = subgroupMax(value);
    if (subgroupExclusiveAdd(1u) == 0u) { lanes[lane / size] = part; }
    workgroupBarrier();
    var most = lanes[0];
    for (var i = 1u; i < THREADS / size; i++) { most = max(most, lanes[i]); }
    workgroupBarrier();
    return most;
}

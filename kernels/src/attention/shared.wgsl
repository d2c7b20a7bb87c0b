// Rung 2: SHARE neighbouring invocations own a row, each some of its channels, and add up their parts of a dot
// product with subgroup shuffles. Adds: a SHARE-th of the registers, SHARE times the invocations. Costs: the
// shuffles, and keys that a row does not see are multiplied all the same, since neighbours must stay together.
fn across(s: vec2f) -> vec2f {
    var sum = s + subgroupShuffleXor(s, 1u);
    if (SHARE == 4u) { sum += subgroupShuffleXor(sum, 2u); }
    return sum;
}
fn skip(seen: bool) -> bool { return false; }

// The number of a workgroup in a grid folded over x and y: 65,535 is the most on one axis.
fn group_of(id: vec3u, grid: vec3u) -> u32 {
    return id.x + id.y * grid.x;
}

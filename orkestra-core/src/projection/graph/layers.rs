//! Layered layout of a graph: every node is right of the nodes before it, with few crossing edges.
//!
//! Longest paths define the layers; a few sweeps order each layer by the positions of its neighbours (Sugiyama's
//! barycentre heuristic). Long edges pass through way-points in the layers between, unless there would be too many.
//! Costs O((nodes + edges + way-points) log) per sweep.

/// Above this number of way-points, long edges are drawn straight: nobody follows single edges in such a graph.
const WAY_POINTS_MAX: usize = 20_000;

/// The number of sweeps in each direction. More sweeps change little.
const SWEEPS: usize = 4;

/// Nodes and way-points in layers.
pub(super) struct Layers {
    /// The items of each layer, in order: numbers below the node count are nodes, the others way-points.
    pub(super) layers: Vec<Vec<usize>>,
    /// Each edge as the items that it passes through, from its first node to its last.
    pub(super) paths: Vec<Vec<usize>>,
}

/// The layer of each node: 0 for nodes after no other. Nodes in a cycle, which no plan has, get 0.
pub(super) fn depths(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut after = vec![Vec::new(); count];
    let mut waiting = vec![0_usize; count];
    for &(from, to) in edges {
        after[from].push(to);
        waiting[to] += 1;
    }
    let mut depths = vec![0; count];
    let mut ready: Vec<usize> = (0..count).filter(|node| waiting[*node] == 0).collect();
    while let Some(node) = ready.pop() {
        for &next in &after[node] {
            depths[next] = depths[next].max(depths[node] + 1);
            waiting[next] -= 1;
            if waiting[next] == 0 {
                ready.push(next);
            }
        }
    }
    (0..count).map(|node| if waiting[node] == 0 { depths[node] } else { 0 }).collect()
}

/// The nodes of each layer, in numerical order.
pub(super) fn levels(count: usize, edges: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let depths = depths(count, edges);
    let mut levels = vec![Vec::new(); depths.iter().max().map_or(0, |deepest| deepest + 1)];
    for (node, depth) in depths.into_iter().enumerate() {
        levels[depth].push(node);
    }
    levels
}

pub(super) fn layers(count: usize, edges: &[(usize, usize)]) -> Layers {
    let depths = depths(count, edges);
    let mut layers = levels(count, edges);
    let span = |&(from, to): &(usize, usize)| depths[to].saturating_sub(depths[from] + 1);
    let led = edges.iter().map(span).fold(0_usize, usize::saturating_add) <= WAY_POINTS_MAX;
    let mut next = count;
    let mut paths = Vec::with_capacity(edges.len());
    for &(from, to) in edges {
        let mut path = vec![from];
        if led {
            let between = layers.iter_mut().take(depths[to]).skip(depths[from] + 1);
            for layer in between {
                layer.push(next);
                path.push(next);
                next += 1;
            }
        }
        path.push(to);
        paths.push(path);
    }
    order(&mut layers, &paths, next);
    Layers { layers, paths }
}

/// Orders the layers by the positions of their neighbours: by the nodes before on the way down, by the nodes after on
/// the way up.
fn order(layers: &mut [Vec<usize>], paths: &[Vec<usize>], count: usize) {
    let (mut before, mut after) = (vec![Vec::new(); count], vec![Vec::new(); count]);
    for pair in paths.iter().flat_map(|path| path.windows(2)) {
        before[pair[1]].push(pair[0]);
        after[pair[0]].push(pair[1]);
    }
    let mut places = vec![0.0_f64; count];
    layers.iter().for_each(|layer| place(layer, &mut places));
    for _ in 0..SWEEPS {
        for layer in layers.iter_mut() {
            sort(layer, &before, &mut places);
        }
        for layer in layers.iter_mut().rev() {
            sort(layer, &after, &mut places);
        }
    }
}

/// The position of each item in the layer. 0 is the middle, so that short layers are centred on long ones.
#[expect(clippy::cast_precision_loss, reason = "places are far below 2^52")]
fn place(layer: &[usize], places: &mut [f64]) {
    let middle = layer.len().saturating_sub(1) as f64 / 2.0;
    for (place, item) in layer.iter().enumerate() {
        places[*item] = place as f64 - middle;
    }
}

#[expect(clippy::cast_precision_loss, reason = "no node has 2^52 neighbours")]
fn sort(layer: &mut [usize], neighbours: &[Vec<usize>], places: &mut [f64]) {
    let mut keyed: Vec<(f64, usize)> = layer
        .iter()
        .map(|item| {
            let near = &neighbours[*item];
            let sum: f64 = near.iter().map(|other| places[*other]).sum();
            (if near.is_empty() { places[*item] } else { sum / near.len() as f64 }, *item)
        })
        .collect();
    // A stable sort: ties keep their order, and the same graph always has the same drawing.
    keyed.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    for (slot, (_, item)) in layer.iter_mut().zip(keyed) {
        *slot = item;
    }
    place(layer, places);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_follow_the_longest_paths() {
        assert_eq!(levels(4, &[(0, 1), (0, 2), (1, 3), (2, 3), (0, 3)]), [vec![0], vec![1, 2], vec![3]]);
        assert_eq!(levels(0, &[]), [] as [Vec<usize>; 0]);
        assert_eq!(levels(3, &[(1, 2), (2, 1)]), [vec![0, 1, 2]], "even a cycle is drawn");
    }

    #[test]
    fn crossing_edges_are_untangled_and_long_edges_get_way_points() {
        let layers = layers(5, &[(0, 3), (1, 2), (2, 4), (0, 4)]);
        assert_eq!(layers.paths, [vec![0, 3], vec![1, 2], vec![2, 4], vec![0, 5, 4]]);
        let place = |layer: usize, item| layers.layers[layer].iter().position(|other| *other == item);
        assert_eq!((place(0, 0) < place(0, 1)), (place(1, 3) < place(1, 2)), "{:?}", layers.layers);
    }

    #[test]
    fn a_graph_full_of_long_edges_has_no_way_points() {
        let chain = (1..300).map(|node| (node - 1, node));
        let edges: Vec<_> = chain.chain((2..300).map(|node| (0, node))).collect();
        assert!(layers(300, &edges).paths.iter().all(|path| path.len() == 2));
    }
}

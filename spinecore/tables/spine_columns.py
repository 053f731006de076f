"""Columns of the spine table; read them through `spinecore.tables.columns`."""

from __future__ import annotations

from spinecore.tables.column import Column, by_name, flag_column

_NO_PIXEL = "the pixel size is unknown"
_NO_DEPTH = "a single slice or projection has no depth, or the voxel size is unknown"
_NO_VOXELS = "the spine has fewer than 4 voxels, or the pixel size is unknown"
_NOT_ESTIMATED = (
    "single image or projection, another method or own weights, a spine added by hand, or an analysis made before "
    "this column existed"
)
_NO_DENDRITE = "no dendrite lies within 5 um"


def _estimated(name: str, unit: str, title: str, what: str) -> tuple[Column, Column]:
    """Declare a size that a network reads from the image, and its expected error."""
    return (
        Column(
            f"{name}_estimated_{unit.replace('^', '')}",
            unit,
            f"{title}, est.",
            f"{what}, as a network reads it from the image.",
            "Answer of a network that learned the sizes of simulated spines through many blurs (see models/spine-size.json): "
            f"nearer to the truth than {name}_{unit.replace('^', '')} on simulated stacks, but drawn towards common sizes where "
            "the image tells little.",
            _NOT_ESTIMATED,
        ),
        Column(
            f"{name}_estimated_error_pct",
            "%",
            f"{title}, error",
            f"Error e to be expected of {name}_estimated_{unit.replace('^', '')}.",
            "68 % of the true values of simulated spines lie between the estimate / (1 + e) and the estimate times (1 + e).",
            _NOT_ESTIMATED,
        ),
    )


#: Columns of spines.csv, in order.
SPINE_COLUMNS: dict[str, Column] = by_name(
    Column("spine_id", "", "Spine", "Number of the spine.", "Value of the spine's voxels in labels.tif."),
    Column(
        "dendrite_id",
        "",
        "Dendrite",
        "Number of the dendrite that the spine belongs to.",
        "Dendrite reached by the cheapest path from the head centre (see base_x_px).",
        _NO_DENDRITE,
    ),
    Column(
        "x_px",
        "px",
        "Head x",
        "Centre of the head along X, in the input's pixels.",
        "Peak of the detector; otherwise the centroid of the head's voxels. The first pixel's centre is 0.",
    ),
    Column("y_px", "px", "Head y", "Centre of the head along Y, in the input's pixels.", "As x_px."),
    Column("z_px", "px", "Head z", "Centre of the head along Z, in slices from 0.", "As x_px."),
    Column("x_um", "um", "Head x", "Centre of the head along X.", "x_px times the pixel size.", _NO_PIXEL),
    Column("y_um", "um", "Head y", "Centre of the head along Y.", "y_px times the pixel size.", _NO_PIXEL),
    Column("z_um", "um", "Head z", "Centre of the head along Z.", "z_px times the z step.", _NO_DEPTH),
    Column(
        "score",
        "",
        "Score",
        "Confidence of the detector, from 0 to 1.",
        "Value of the detector's head-centre map at the spine; in stacks, the answer of a second network that looks at "
        "the surroundings of each head (see models/head-score.json).",
        "the spine was drawn by hand or no score was given",
    ),
    Column(
        "x_min_px", "px", "Box left", "First pixel column of the spine (inclusive).", "Box of its voxels."
    ),
    Column("y_min_px", "px", "Box top", "First pixel row of the spine (inclusive).", "Box of its voxels."),
    Column(
        "x_max_px", "px", "Box right", "Last pixel column of the spine (inclusive).", "Box of its voxels."
    ),
    Column("y_max_px", "px", "Box bottom", "Last pixel row of the spine (inclusive).", "Box of its voxels."),
    Column("z_min_px", "px", "First slice", "First slice of the spine (inclusive).", "Box of its voxels."),
    Column("z_max_px", "px", "Last slice", "Last slice of the spine (inclusive).", "Box of its voxels."),
    Column(
        "length_um",
        "um",
        "Length",
        "Length from the dendrite's surface to the tip, along the spine's own path.",
        "Arc length of a smoothed path through the centroids of slabs of equal geodesic distance from the base, "
        "continued to the spine's surface at the tip.",
        f"{_NO_VOXELS}; or {_NO_DENDRITE}",
    ),
    flag_column(
        "length_um_flag",
        "Length flag",
        "projected (2-D input), neck not segmented, cut by the border, too few voxels, no dendrite",
    ),
    *_estimated("length", "um", "Length", "Length from the dendrite's surface to the tip"),
    Column(
        "length_euclidean_um",
        "um",
        "Straight length",
        "Straight distance from the base to the tip.",
        "Distance between the base point and the tip point.",
        f"{_NO_VOXELS}; or {_NO_DENDRITE}",
    ),
    flag_column("length_euclidean_um_flag", "Straight length flag", "as length_um_flag"),
    Column(
        "head_width_um",
        "um",
        "Head width",
        "In-plane diameter of the largest cross-section of the head.",
        "Cross-section area A(s) = dV/ds along the path; where it is largest, the in-plane diameter of the ellipse "
        "with this area and the section's ratio q of axial to in-plane spread, 2 sqrt(A / (pi q)); in 2-D the width "
        "dA/ds. Below the resolution limit the full width at half maximum across the head is given instead.",
        _NO_VOXELS,
    ),
    flag_column(
        "head_width_um_flag", "Head width flag", "resolution-limited, cut by the border, too few voxels"
    ),
    *_estimated("head_width", "um", "Head width", "Diameter of the head"),
    Column(
        "neck_width_um",
        "um",
        "Neck width",
        "In-plane diameter of the neck.",
        "Median diameter along the path between the base and the start of the head (see neck_length_um), by the formula "
        "of head_width_um. A spine has a neck when its narrowest diameter, times 1.1, is below the head's. Where the neck is below the resolution limit or not segmented, the full width at half maximum across the path, which "
        "is an upper bound.",
        "the spine has no neck, or the profile across the neck has no clear peak; see the flag",
    ),
    flag_column(
        "neck_width_um_flag",
        "Neck width flag",
        "resolution-limited, no neck, neck not segmented, no clear peak",
    ),
    Column(
        "neck_length_um",
        "um",
        "Neck length",
        "Length of the path from the base to where the head begins.",
        "The head begins where the diameter, beyond its minimum, has risen by 30 % of the difference to the head's.",
        "the spine has no neck; see the flag",
    ),
    flag_column(
        "neck_length_um_flag", "Neck length flag", "no neck, neck not segmented, projected, too few voxels"
    ),
    Column(
        "area_um2",
        "um^2",
        "Projected area",
        "Area of the spine seen from above.",
        "Pixels of the maximum projection of its voxels times the pixel area.",
        _NO_PIXEL,
    ),
    Column(
        "volume_um3",
        "um^3",
        "Volume",
        "Volume of the spine.",
        "Number of voxels times the voxel volume.",
        _NO_DEPTH,
    ),
    *_estimated("volume", "um^3", "Volume", "Volume of the spine"),
    Column(
        "volume_fluorescence_um3",
        "um^3",
        "Volume by fluorescence",
        "Volume that would give the spine's fluorescence at the brightness of its local shaft.",
        "Sum of intensity above background in the spine and within 0.15 um around it in plane, times voxel volume, "
        "over the mean intensity above background on the dendrite's centre line within 1 um of the base.",
        f"{_NO_DEPTH}; or no shaft brighter than the background lies at the base",
    ),
    Column(
        "head_volume_um3",
        "um^3",
        "Head volume",
        "Volume of the spine beyond the neck.",
        "Voxels whose position along the path lies beyond the neck length; all of them where there is no neck.",
        _NO_DEPTH,
    ),
    Column(
        "surface_um2",
        "um^2",
        "Surface",
        "Surface area of the spine, with the cut to the dendrite.",
        "Marching cubes on the smoothed mask, at the level that keeps the voxel volume.",
        f"{_NO_DEPTH}; or fewer than 4 voxels; or it comes out smaller than that of a ball of the same volume",
    ),
    Column(
        "sphericity",
        "",
        "Sphericity",
        "1 for a ball, less for anything else.",
        "pi^(1/3) (6 V)^(2/3) / S (Wadell 1935), from volume_um3 and surface_um2.",
        "surface_um2 is missing",
    ),
    Column(
        "elongation",
        "",
        "Elongation",
        "Long axis over the middle axis of the spine; 1 for a ball.",
        "Square root of the ratio of the two largest eigenvalues of the covariance of its voxels in um "
        "(with the voxel's own extent).",
        _NO_VOXELS,
    ),
    Column(
        "intensity_mean",
        "",
        "Mean intensity",
        "Mean intensity above the local background.",
        "Mean over the spine's voxels minus intensity_background.",
        "no image was given or the spine has no voxels",
    ),
    Column(
        "intensity_max",
        "",
        "Maximum intensity",
        "Largest intensity above the local background.",
        "Maximum over the spine's voxels minus intensity_background.",
        "as intensity_mean",
    ),
    Column(
        "intensity_integrated",
        "",
        "Integrated intensity",
        "Sum of the intensity above the local background.",
        "Sum over the spine's voxels of intensity minus intensity_background.",
        "as intensity_mean",
    ),
    Column(
        "intensity_background",
        "",
        "Local background",
        "Intensity beside the spine, in the image's own units.",
        "Median of the voxels of the same slices within 8 pixels of its box and at least 2 pixels off every spine "
        "and dendrite; the stack's 10th percentile where there are fewer than 10.",
        "no image was given",
    ),
    Column(
        "spine_to_shaft_ratio",
        "",
        "Spine to shaft",
        "Brightness of the spine relative to its local shaft.",
        "intensity_max over the mean intensity above background on the centre line within 1 um of the base.",
        "no image was given, or no shaft brighter than the background lies at the base",
    ),
    Column(
        "position_along_dendrite_um",
        "um",
        "Position on dendrite",
        "Distance of the base from the dendrite's root end, along the centre line.",
        "Path length from the root end (see dendrites) to the point of the centre line nearest to the base.",
        f"{_NO_DENDRITE}, or the pixel size is unknown",
    ),
    Column(
        "branch",
        "",
        "Branch",
        "Number of the unbranched piece of the dendrite that the spine sits on.",
        "Piece of the centre line nearest to the base; pieces are counted from the root end, from 1.",
        _NO_DENDRITE,
    ),
    Column(
        "side",
        "",
        "Side",
        "Side of the dendrite, seen from above and looking along it from its root end: left or right.",
        "Sign of the in-plane component of the line from the centre line to the head.",
        _NO_DENDRITE,
    ),
    Column(
        "angle_deg",
        "degree",
        "Angle round the shaft",
        "0 is right, 90 towards higher z, 180 or -180 left, -90 towards lower z, looking from the root end.",
        "Angle of the head's offset from the centre line, in the plane across the dendrite.",
        f"{_NO_DENDRITE}; or {_NO_DEPTH}",
    ),
    Column(
        "nearest_neighbour_um",
        "um",
        "Nearest spine",
        "Distance to the nearest other head centre.",
        "Euclidean distance between head centres.",
        "there is no other spine, or the voxel size is unknown",
    ),
    Column(
        "soma_distance_um",
        "um",
        "Distance to soma",
        "Straight distance from the soma, where a person marked it, to the spine's base.",
        "Euclidean distance.",
        "no soma is marked, or the voxel size is unknown",
    ),
    Column(
        "soma_path_um",
        "um",
        "Path to soma",
        "Distance from the marked soma to the spine's base along the dendrite.",
        "Straight from the mark to the nearest free end of the dendrite's centre line, then along it.",
        "no soma is marked, or no end of the dendrite lies within 20 um of it",
    ),
    Column(
        "touches_border",
        "",
        "Touches border",
        "True when the spine touches the edge of the image or its first or last slice: it may be cut off.",
        "Its box reaches a face of the volume (in z only for stacks).",
    ),
    Column(
        "base_x_px",
        "px",
        "Base x",
        "Where the spine leaves the dendrite's surface, along X.",
        "Where the cheapest path from the head centre (cheap in the spine's voxels and where it is bright) first "
        "reaches the dendrite.",
        _NO_DENDRITE,
    ),
    Column(
        "base_y_px",
        "px",
        "Base y",
        "Where the spine leaves the dendrite, along Y.",
        "As base_x_px.",
        _NO_DENDRITE,
    ),
    Column(
        "base_z_px",
        "px",
        "Base z",
        "Where the spine leaves the dendrite, along Z.",
        "As base_x_px.",
        _NO_DENDRITE,
    ),
    Column(
        "tip_x_px", "px", "Tip x", "Tip of the spine along X.", "End of the path of length_um.", _NO_DENDRITE
    ),
    Column("tip_y_px", "px", "Tip y", "Tip of the spine along Y.", "As tip_x_px.", _NO_DENDRITE),
    Column("tip_z_px", "px", "Tip z", "Tip of the spine along Z.", "As tip_x_px.", _NO_DENDRITE),
    Column(
        "class",
        "",
        "Class",
        "Shape class by the network: mushroom, thin, stubby or filopodium. Shapes form a continuum: see the probabilities.",
        "Most probable class of the shape network (see the model's card); a person's correction replaces it.",
        "no shape network is installed",
    ),
    Column(
        "class_probability",
        "",
        "Class probability",
        "The network's probability of the class shown, from 0 to 1.",
        "Softmax of the shape network with its fitted temperature.",
        "no shape network is installed",
    ),
    *(
        Column(
            f"p_{name}",
            "",
            f"P({name})",
            f"The network's probability that the spine is {text}, from 0 to 1.",
            "As class_probability; the four add up to 1.",
            "no shape network is installed",
        )
        for name, text in (
            ("mushroom", "a mushroom"),
            ("thin", "thin"),
            ("stubby", "stubby"),
            ("filopodium", "a filopodium"),
        )
    ),
    Column(
        "class_rule",
        "",
        "Class by rules",
        "Class by a published rule set, with the rule that fired.",
        "Rodriguez et al. 2008 on length_um, head_width_um, neck_width_um and neck_length_um; other sets and thresholds "
        "can be chosen on the Shapes page.",
    ),
    Column(
        "class_disagrees",
        "",
        "Classes differ",
        "True where class and class_rule name different classes.",
        "class against the class in class_rule.",
        "one of the two has no answer",
    ),
    Column(
        "edited",
        "",
        "Edited",
        "True when a person added this spine, said that it counts, or changed its class.",
        "From the lists of corrections beside the analysis.",
    ),
    Column(
        "missing_reason",
        "",
        "Why values are missing",
        "Reasons for the empty cells of this row.",
        "Reasons joined by '; '.",
        "nothing is missing",
    ),
)

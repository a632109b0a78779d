"""Every key that GCL adds to the toolbox's configuration, and the checks that run before any
work."""

from __future__ import annotations

import ast
import os

import torch
from fastreid.config import CfgNode as CN
from fastreid.modeling.heads import REID_HEADS_REGISTRY

PHASES = ("contrast", "generator", "joint")
LOSSES = (
    "ViewInvariantLoss",
    "InterCameraLoss",
    "ReconstructionLoss",
    "CycleLoss",
    "FeatureConsistencyLoss",
    "AdversarialLoss",
    "R1Penalty",
)
LEARNERS = ("everything", "apart", "encoder")
FOREIGN_CAMERAS = ("all", "own", "same")
TRACKS = ("labels", "views")
PRETRAINING_LOSSES = ("ReconstructionLoss", "AdversarialLoss", "R1Penalty")


OWN_CROPS = "OwnCrops"
"""The data set that reads GCL.DATA.FOLDER."""
AUTO = "auto"
"""As GCL.STRUCTURE.DIR: the training command makes the structures of own crops."""


class ConfigError(ValueError):
    """A configuration value that can not work; the message names the key and the remedy."""


def fitting(default: object, value: object) -> object:
    """A value for a key of that default. The toolbox reads every text as Python where it can, and
    takes no 0 for 0.0: a folder called 2024, or [1], stays a text by quotes where a text is wanted,
    and a whole number becomes a float where that is. None is let pass."""
    read = value
    if isinstance(default, str | float) and isinstance(value, str):
        try:
            read = ast.literal_eval(value)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return value  # a text already
    if isinstance(default, float) and type(read) is int:
        return float(read)
    if isinstance(default, str) and isinstance(value, str):
        return value if read is None or isinstance(read, str) else repr(value)
    return value


def merge_file(cfg: CN, path: str) -> None:
    """Change ``cfg`` by a file, as its ``merge_from_file`` does, but with values by
    :func:`fitting`; what a broken file raises, it raises, too."""

    def fit(node: CN, tree: dict) -> dict:
        return {
            key: fit(node[key], value)
            if isinstance(value, dict) and isinstance(node.get(key), CN)
            else fitting(node.get(key), value)
            for key, value in tree.items()
        }

    tree = CN.load_yaml_with_base(path)
    cfg.merge_from_other_cfg(type(cfg)(fit(cfg, tree)))


def add_gcl_config(cfg: CN) -> None:
    """Add GCL's keys, with the values of the paper (but for GCL.LABELS.FEATURES), to a toolbox
    configuration.

    Symbols are those of Chen et al., "Joint Generative and Contrastive Learning for Unsupervised
    Person Re-identification", CVPR 2021.
    """
    # The toolbox insists on CUDA; we default to what the machine has.
    cfg.MODEL.DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
    # Seed of everything random; two CPU runs with the same seed are identical bit for bit.
    # Below 0: drawn from the operating system, written to the log and kept in the checkpoints.
    cfg.SEED = -1
    # Networks in bfloat16 where that is safe (losses, pooling and neck stay in float32). None: on a
    # GPU that has it, and not on a CPU; or True, False. A GPU without it computes in float16.
    cfg.SOLVER.AMP.ENABLED = None

    cfg.GCL = CN()
    # What to train, in this order, in one process: any of "contrast", "generator", "joint".
    cfg.GCL.PHASES = ("contrast", "generator", "joint")
    # Optimizer steps in one epoch, of every phase; 0: training images / SOLVER.IMS_PER_BATCH.
    cfg.GCL.ITERS_PER_EPOCH = 0
    # Record a step's forward and backward as a CUDA graph and launch it by one call: faster where
    # steps are many small kernels (16 images). The results are the same. One GPU and one process.
    cfg.GCL.CUDA_GRAPHS = False
    # Standardise the pooled features with each camera's own mean and deviation (of the training
    # images, measured anew in every feature pass and before an evaluation, and following E_id in
    # between; those of few images are drawn towards all cameras') before the neck, in training and
    # in test. Generated views are standardised by statistics of their own, measured before the
    # joint phase, and the neck's running statistics come from the same feature pass.
    # Needs one training set; a camera that it did not contain gets the statistics of all images.
    cfg.GCL.CAMERA_NORM = False
    # What statistics CAMERA_NORM takes for a test set that is not among DATASETS.NAMES, whose
    # cameras are others: those of "all" training images, or of each of its "own" cameras (one more
    # pass over query and gallery, whose identities it does not read); or they are the "same" ones.
    cfg.GCL.FOREIGN_CAMERAS = "all"
    # The batch norm layers of E_id's backbone keep the statistics that they come with (ImageNet's,
    # or those of MODEL.WEIGHTS), also in training: steadier where batches are small or few.
    cfg.GCL.FREEZE_BN = False
    # Share of the weights that E_id starts from in those that the last epoch ends with (WiSE-FT):
    # what a start knew that has seen people is not forgotten. 0: none of them. Needs FREEZE_BN.
    cfg.GCL.START_SHARE = 0.0

    # ---- your own crops, the data set "OwnCrops" in DATASETS.NAMES
    cfg.GCL.DATA = CN()
    # Folder of crops without labels; all folders in it count, too.
    cfg.GCL.DATA.FOLDER = ""
    # What their paths say: any of {camera}, {track} and {frame} (or {time}, with decimals), and {}
    # for anything, as in "{camera}/{track}/{frame}.jpg". "": nothing.
    cfg.GCL.DATA.PATTERN = ""
    # Table of crops with the columns path, camera, track, time (all but path may be missing): only
    # what it lists is read. "": crops.csv in the folder, where there is one.
    cfg.GCL.DATA.TABLE = ""
    # What known tracks do: the crops of one get one of the "labels"; or another crop of its track
    # is a second view of each crop ("views"; in phase 3 of JOINT.UNTURNED of them, which are not
    # unturned then), and labels know of no track.
    cfg.GCL.DATA.TRACKS = "labels"
    # Labelled crops in Market-1501's naming, to test on; never trained on. "": none.
    cfg.GCL.DATA.QUERY = ""
    cfg.GCL.DATA.GALLERY = ""

    # ---- a labelled source beside the unlabelled target, in the phases contrast and joint
    cfg.GCL.SOURCE = CN()
    # Data sets whose training images and identities teach E_id in every step, in batches and with
    # statistics of their own: any of the toolbox's registry, as "DrawnPeople". (): none.
    cfg.GCL.SOURCE.NAMES = ()
    # Folder of these data sets; "": FASTREID_DATASETS, as the target's.
    cfg.GCL.SOURCE.ROOT = ""
    # Source images of a step, DATALOADER.NUM_INSTANCE of each person
    cfg.GCL.SOURCE.BATCH = 32

    # ---- phase 1: contrast warm-up of E_id on original views (L_vi'' with its own negatives)
    cfg.GCL.CONTRAST = CN()
    cfg.GCL.CONTRAST.EPOCHS = 20
    cfg.GCL.CONTRAST.IMS_PER_BATCH = 64  # P x K images of P pseudo classes
    cfg.GCL.CONTRAST.OPT = "Adam"  # of E_id: a torch.optim name
    cfg.GCL.CONTRAST.BASE_LR = 3.5e-4  # of E_id
    cfg.GCL.CONTRAST.STEPS = [15]  # epochs of this phase after which the rate falls (SOLVER.GAMMA)

    # ---- phase 2: generator warm-up, E_id frozen and in evaluation mode
    cfg.GCL.GENERATOR = CN()
    cfg.GCL.GENERATOR.EPOCHS = 40
    cfg.GCL.GENERATOR.IMS_PER_BATCH = 16
    # E_str and G, in REID_HEADS_REGISTRY: the paper's "ViewGenerator", which knows a crop by its
    # part code, or "AttentionViewGenerator", which looks at the crop itself and at no encoder.
    cfg.GCL.GENERATOR.NAME = "ViewGenerator"
    # What E_str, G and D start from: "" (scratch), "packaged" (an AttentionViewGenerator of WIDTH
    # 16 for views of 64 x 32) or a file of tools/pretrain_generator.py.
    cfg.GCL.GENERATOR.WEIGHTS = ""
    # Modules of E_str and G, by the beginnings of their names, that do not learn.
    cfg.GCL.GENERATOR.FREEZE_LAYERS = ()
    # Height and width at which views are drawn, resized for E_id; (0, 0): INPUT.SIZE_TRAIN
    cfg.GCL.GENERATOR.SIZE = [0, 0]
    cfg.GCL.GENERATOR.NUM_PARTS = 4  # P: horizontal stripes of the part code c (ViewGenerator)
    cfg.GCL.GENERATOR.WIDTH = 16  # channels of E_str's stem; G works on four times as many
    cfg.GCL.GENERATOR.NUM_BLOCKS = 4  # residual blocks of E_str
    cfg.GCL.GENERATOR.MLP_DIM = 512  # hidden units of the MLPs that turn c into AdaIN parameters
    # Where stripe p of the part code acts: on "block" p everywhere, as in the released code, or in
    # every block at the rows of its own stripe ("rows"): where clothes are need not be learnt then.
    cfg.GCL.GENERATOR.PLACEMENT = "block"
    # Standardise the channels of the part code before the MLPs: what people have in common is most
    # of a code and hides what tells them apart. See docs/experiments.md.
    cfg.GCL.GENERATOR.CODE_NORM = False
    # Adam of E_str, G and D, the same in phases 2 and 3
    cfg.GCL.GENERATOR.BASE_LR = 1e-4
    cfg.GCL.GENERATOR.BETAS = (0.0, 0.999)
    cfg.GCL.GENERATOR.WEIGHT_DECAY = 5e-4

    cfg.GCL.DISCRIMINATOR = CN()
    cfg.GCL.DISCRIMINATOR.NAME = "MultiScaleDiscriminator"  # D, in REID_HEADS_REGISTRY
    cfg.GCL.DISCRIMINATOR.WIDTH = 32
    cfg.GCL.DISCRIMINATOR.NUM_SCALES = 3
    cfg.GCL.DISCRIMINATOR.NUM_BLOCKS = 4

    # ---- phase 3: everything together; SOLVER.IMS_PER_BATCH images.
    # E_id: SOLVER.OPT, BASE_LR, STEPS (counted in this phase).
    cfg.GCL.JOINT = CN()
    cfg.GCL.JOINT.EPOCHS = 20
    # Who learns from what: "everything": E_id, E_str and G from L_gan and the view-invariant loss
    # [paper, released code]; "apart": E_id from the latter alone, E_str and G from the former;
    # "encoder": E_id alone, from what a generator draws that stays as it is (of it, only the
    # statistics of CODE_NORM move).
    cfg.GCL.JOINT.LEARNS = "everything"
    # The original views of the view contrast are augmented as in phase 1 (the generator's are not).
    cfg.GCL.JOINT.AUGMENT = False
    # Share of the views that E_id learns from that are no drawings, but the crops themselves, at
    # the views' resolution: nothing is lost in them, and nothing is turned. Where GCL.DATA.TRACKS
    # is views, they are other crops of their tracks.
    cfg.GCL.JOINT.UNTURNED = 0.0
    # Draw each view that E_id learns from on another view's background, by the structure's outline.
    # Backgrounds tell cameras apart; views on their own background teach E_id that they matter.
    cfg.GCL.JOINT.SWAP_BACKGROUNDS = False

    # ---- structure images s (renders of the person's mesh)
    cfg.GCL.STRUCTURE = CN()
    # Folder with {train,test}/renders/<image>.tif and/or {train,test}/geometry/<image>.npz, as
    # tools/prepare_structure.py writes them, or {train,test}/{render,render_45,...,render_315}/
    # <image>; <image> is <data set>/<path below the data set's folder>, or the name of the image
    # where it is unique.
    # "auto", for OwnCrops: tools/train_net.py estimates them first, into OUTPUT_DIR/structures.
    cfg.GCL.STRUCTURE.DIR = ""
    # "renders": read the files. "geometry": render the meshes in the data workers, three to six
    # times the CPU time (47 - 94 against 15 ms for 16 images of 256 x 128, benchmarks/structure.py)
    cfg.GCL.STRUCTURE.SOURCE = "renders"
    # Training images without renders: "error", or "skip" them in the phases that need structures
    cfg.GCL.STRUCTURE.MISSING = "error"

    # ---- memory bank M
    cfg.GCL.MEMORY = CN()
    cfg.GCL.MEMORY.ALPHA = 0.2  # alpha: weight of the OLD row in the update
    # Keep its rows in float16, in the checkpoint too: a million of 2048 are 4 GB then, not 8
    cfg.GCL.MEMORY.HALF = False

    # ---- pseudo labels y: k-reciprocal Jaccard distance + DBSCAN before each epoch with contrast
    cfg.GCL.LABELS = CN()
    # Cluster "fresh" features (an evaluation pass, which also refills the bank) or the "bank" rows,
    # as the paper does: rows of images that training draws are then of augmented crops and of
    # several states of E_id, and those of outliers stay what they were
    cfg.GCL.LABELS.FEATURES = "fresh"
    cfg.GCL.LABELS.K1 = 30
    cfg.GCL.LABELS.K2 = 6
    cfg.GCL.LABELS.MIN_SAMPLES = 4
    cfg.GCL.LABELS.EPS = 0.0  # DBSCAN radius; 0: from RHO
    cfg.GCL.LABELS.RHO = 2e-3  # rho: eps = mean of the smallest share rho of the distances
    # "exact", or the approximate "ivf" for a million images, which compares every image with VISIT
    # others of near cells: more find more of the true neighbours and take longer
    cfg.GCL.LABELS.KNN = "exact"
    cfg.GCL.LABELS.VISIT = 32768
    # Cameras that share people, site by site, as (("gate", "hall"), ("yard",)): images of two sites
    # are never one person. Names of own crops' cameras; of other data sets their numbers, as the
    # toolbox counts them (Market1501: from 0). (): one site.
    cfg.GCL.LABELS.SITES = ()

    # ---- losses: chosen by MODEL.LOSSES.NAME, weighted by SCALE
    losses = cfg.MODEL.LOSSES
    losses.VIEW = CN()
    losses.VIEW.SCALE = 1.0
    losses.VIEW.TEMPERATURE = 0.04  # t
    losses.VIEW.NUM_NEGATIVES = 8192  # K
    losses.VIEW.NEGATIVES = (
        "new"  # negatives of the third term use f' ("new", released code) or f ("own")
    )
    # "all", or those of a crop's "own" camera: crops of other cameras that are in another cluster
    # are often the same person, whom the labels have not joined
    losses.VIEW.NEGATIVE_CAMERAS = "all"
    # of original views against their classes in other cameras; of one camera it is 0
    losses.INTER = CN({"SCALE": 0.5, "TEMPERATURE": 0.07, "NUM_NEGATIVES": 50})
    # of the source's crops against their people's centroids, at VIEW.TEMPERATURE
    losses.SOURCE = CN({"SCALE": 1.0})
    # lambda_img, of ReconstructionLoss |x - x'_ori|_1 and CycleLoss |x - x''_ori|_1 (L_img is both)
    losses.RECONSTRUCTION = CN({"SCALE": 5.0})
    losses.FEATURE = CN({"SCALE": 5.0})  # lambda_feat
    losses.FEATURE.VIEWS = "paper"  # x'_new and x''_ori ("paper") or x'_ori and x''_ori ("code")
    losses.ADVERSARIAL = CN({"SCALE": 1.0})
    losses.ADVERSARIAL.FORM = "lsgan"  # or "log", as in the paper
    losses.R1 = CN({"SCALE": 0.01})  # weight per scale of D
    losses.R1.EVERY = 1  # apply every n-th step with n times the weight (lazy regularisation)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


def check_gcl_config(cfg: CN, training: bool = True) -> None:
    """Stop on values that can not work.

    Raises:
        ConfigError: one sentence that names the key and says what to set.
    """
    gcl, losses = cfg.GCL, cfg.MODEL.LOSSES
    _check_device(cfg)
    _require(
        gcl.FOREIGN_CAMERAS in FOREIGN_CAMERAS,
        f"GCL.FOREIGN_CAMERAS is {gcl.FOREIGN_CAMERAS!r}: choose from"
        f" {', '.join(FOREIGN_CAMERAS)}.",
    )
    _check_own_crops(cfg)
    if training:
        _check_source(cfg)
    if cfg.MODEL.META_ARCHITECTURE == "Baseline":  # the toolbox's, which reads none of them
        for key in ("CAMERA_NORM", "FREEZE_BN", "START_SHARE", "CUDA_GRAPHS"):
            _require(
                not gcl[key],
                f"GCL.{key} is {gcl[key]}, which META_ARCHITECTURE Baseline does not read: take a"
                " configuration of META_ARCHITECTURE GCL (projects/GCL/configs), or leave it out.",
            )
    if not training or cfg.MODEL.META_ARCHITECTURE != "GCL":
        return
    _require(
        len(gcl.PHASES) > 0, "GCL.PHASES is empty: name at least one of " + ", ".join(PHASES) + "."
    )
    _require(
        not gcl.CUDA_GRAPHS or str(cfg.MODEL.DEVICE).startswith("cuda"),
        f"GCL.CUDA_GRAPHS is on, but MODEL.DEVICE is {cfg.MODEL.DEVICE}: set it to False.",
    )
    _require(
        0 <= gcl.START_SHARE < 1,
        f"GCL.START_SHARE is {gcl.START_SHARE}: a share of the weights must be in [0, 1).",
    )
    _require(
        gcl.START_SHARE == 0 or gcl.FREEZE_BN,
        f"GCL.START_SHARE is {gcl.START_SHARE}, but batch norm moves, and a mean of weights has"
        " statistics of its own: set GCL.FREEZE_BN True, or GCL.START_SHARE 0.",
    )
    _require(
        gcl.ITERS_PER_EPOCH >= 0,
        f"GCL.ITERS_PER_EPOCH is {gcl.ITERS_PER_EPOCH}: give the steps of an epoch, or 0, which is"
        " a pass over the images.",
    )
    for phase in gcl.PHASES:
        _require(
            phase in PHASES,
            f"GCL.PHASES names {phase!r}, which is none of {', '.join(PHASES)}.",
        )
        _require(
            gcl[phase.upper()].EPOCHS >= 1,
            f"GCL.{phase.upper()}.EPOCHS is {gcl[phase.upper()].EPOCHS}: it must be at least 1,"
            f" or leave {phase!r} out of GCL.PHASES.",
        )
    _require(
        len(set(gcl.PHASES)) == len(gcl.PHASES),
        f"GCL.PHASES {tuple(gcl.PHASES)} names a phase twice: each may appear once.",
    )
    for name in losses.NAME:
        _require(
            name in LOSSES,
            f"MODEL.LOSSES.NAME contains {name!r}, which GCL does not know:"
            f" choose from {', '.join(LOSSES)}.",
        )
    _require(
        len(losses.NAME) > 0, "MODEL.LOSSES.NAME is empty: choose from " + ", ".join(LOSSES) + "."
    )
    generative = {"generator", "joint"} & set(gcl.PHASES)
    contrastive = {"contrast", "joint"} & set(gcl.PHASES)
    if contrastive:
        _require(
            "ViewInvariantLoss" in losses.NAME,
            "MODEL.LOSSES.NAME lacks ViewInvariantLoss, without which the phases contrast and joint"
            " teach E_id nothing: add it or take these phases out of GCL.PHASES.",
        )
    if generative:
        learns = "generator" in gcl.PHASES or gcl.JOINT.LEARNS != "encoder"
        _require(
            learns or gcl.GENERATOR.WEIGHTS != "" or cfg.MODEL.WEIGHTS != "",
            "GCL.JOINT.LEARNS is encoder, but nothing has taught the generator to draw: add"
            " generator to GCL.PHASES, or give GCL.GENERATOR.WEIGHTS or MODEL.WEIGHTS.",
        )
        _require(
            not learns or "ReconstructionLoss" in losses.NAME or "AdversarialLoss" in losses.NAME,
            "MODEL.LOSSES.NAME has neither ReconstructionLoss nor AdversarialLoss:"
            " the phases generator and joint need at least one of them.",
        )

    for key, node in (
        ("MODEL.LOSSES.VIEW.NUM_NEGATIVES", losses.VIEW.NUM_NEGATIVES),
        ("MODEL.LOSSES.INTER.NUM_NEGATIVES", losses.INTER.NUM_NEGATIVES),
        ("DATALOADER.NUM_INSTANCE", cfg.DATALOADER.NUM_INSTANCE),
        ("GCL.LABELS.K1", gcl.LABELS.K1),
        ("GCL.LABELS.K2", gcl.LABELS.K2),
        ("GCL.LABELS.MIN_SAMPLES", gcl.LABELS.MIN_SAMPLES),
        ("GCL.GENERATOR.NUM_PARTS", gcl.GENERATOR.NUM_PARTS),
        ("GCL.GENERATOR.WIDTH", gcl.GENERATOR.WIDTH),
        ("GCL.GENERATOR.MLP_DIM", gcl.GENERATOR.MLP_DIM),
        ("GCL.DISCRIMINATOR.WIDTH", gcl.DISCRIMINATOR.WIDTH),
        ("GCL.DISCRIMINATOR.NUM_SCALES", gcl.DISCRIMINATOR.NUM_SCALES),
        ("MODEL.LOSSES.R1.EVERY", losses.R1.EVERY),
        ("SOLVER.IMS_PER_BATCH", cfg.SOLVER.IMS_PER_BATCH),
        ("GCL.CONTRAST.IMS_PER_BATCH", gcl.CONTRAST.IMS_PER_BATCH),
        ("GCL.GENERATOR.IMS_PER_BATCH", gcl.GENERATOR.IMS_PER_BATCH),
    ):
        _require(node >= 1, f"{key} is {node}: it must be at least 1.")
    _require(
        gcl.LABELS.VISIT >= gcl.LABELS.K1,
        f"GCL.LABELS.VISIT is {gcl.LABELS.VISIT}, below GCL.LABELS.K1, {gcl.LABELS.K1}: an image"
        " finds its neighbours among so many, which takes thousands.",
    )
    _require(
        gcl.LABELS.K2 <= gcl.LABELS.K1,
        f"GCL.LABELS.K2 is {gcl.LABELS.K2}, above GCL.LABELS.K1, {gcl.LABELS.K1}, of which it"
        " averages the nearest: lower it.",
    )
    check_batches(cfg, 1)
    for name in ("VIEW", "INTER"):
        temperature = losses[name].TEMPERATURE
        _require(
            temperature > 0,
            f"MODEL.LOSSES.{name}.TEMPERATURE is {temperature}: it must be above 0.",
        )
    _require(
        gcl.LABELS.RHO > 0,
        f"GCL.LABELS.RHO is {gcl.LABELS.RHO}: the share of distances must be above 0.",
    )
    _require(
        0 <= gcl.JOINT.UNTURNED <= 1,
        f"GCL.JOINT.UNTURNED is {gcl.JOINT.UNTURNED}: a share of the views must be in [0, 1].",
    )
    _require(
        0 <= gcl.MEMORY.ALPHA < 1,
        f"GCL.MEMORY.ALPHA is {gcl.MEMORY.ALPHA}: the weight of the old row must be in [0, 1).",
    )
    _require(
        0 <= gcl.LABELS.EPS < 1,
        f"GCL.LABELS.EPS is {gcl.LABELS.EPS}: a Jaccard distance in (0, 1), or 0 for the RHO rule.",
    )
    for key, value, allowed in (
        ("GCL.STRUCTURE.MISSING", gcl.STRUCTURE.MISSING, ("error", "skip")),
        ("GCL.STRUCTURE.SOURCE", gcl.STRUCTURE.SOURCE, ("renders", "geometry")),
        ("GCL.LABELS.FEATURES", gcl.LABELS.FEATURES, ("bank", "fresh")),
        ("GCL.LABELS.KNN", gcl.LABELS.KNN, ("exact", "ivf")),
        ("GCL.JOINT.LEARNS", gcl.JOINT.LEARNS, LEARNERS),
        ("GCL.GENERATOR.PLACEMENT", gcl.GENERATOR.PLACEMENT, ("block", "rows")),
        ("MODEL.LOSSES.VIEW.NEGATIVES", losses.VIEW.NEGATIVES, ("new", "own")),
        ("MODEL.LOSSES.VIEW.NEGATIVE_CAMERAS", losses.VIEW.NEGATIVE_CAMERAS, ("all", "own")),
        ("MODEL.LOSSES.FEATURE.VIEWS", losses.FEATURE.VIEWS, ("paper", "code")),
        ("MODEL.LOSSES.ADVERSARIAL.FORM", losses.ADVERSARIAL.FORM, ("lsgan", "log")),
        ("SOLVER.SCHED", cfg.SOLVER.SCHED, ("MultiStepLR", "CosineAnnealingLR")),
    ):
        _require(value in allowed, f"{key} is {value!r}: choose from {', '.join(allowed)}.")
    for key, opt in (("SOLVER.OPT", cfg.SOLVER.OPT), ("GCL.CONTRAST.OPT", gcl.CONTRAST.OPT)):
        _require(hasattr(torch.optim, opt), f"{key} is {opt!r}, which torch.optim does not have.")
    _require(
        cfg.SOLVER.WARMUP_ITERS == 0 and cfg.SOLVER.DELAY_EPOCHS == 0,
        "SOLVER.WARMUP_ITERS and SOLVER.DELAY_EPOCHS must be 0:"
        " GCL's learning rates count within their phase.",
    )
    _require(
        not cfg.TEST.PRECISE_BN.ENABLED,
        "TEST.PRECISE_BN.ENABLED must be False: it would train on another loader.",
    )
    for key, asks in (
        ("GCL.CAMERA_NORM", gcl.CAMERA_NORM),
        ("MODEL.LOSSES.VIEW.NEGATIVE_CAMERAS own", losses.VIEW.NEGATIVE_CAMERAS == "own"),
        ("MODEL.LOSSES.NAME InterCameraLoss", "InterCameraLoss" in losses.NAME),
        ("GCL.LABELS.SITES", len(gcl.LABELS.SITES) > 0),
    ):
        _require(
            not asks or len(cfg.DATASETS.NAMES) <= 1,
            f"{key} needs one training set in DATASETS.NAMES: camera numbers of several sets"
            " collide.",
        )

    _check_sites(gcl.LABELS.SITES)
    if generative:
        _check_generator(cfg)
        folder = gcl.STRUCTURE.DIR
        _require(
            folder != "",
            "GCL.STRUCTURE.DIR is empty: give the folder of tools/prepare_structure.py --out, or"
            " train without structures by GCL.PHASES '(\"contrast\",)'.",
        )
        _require(
            folder == AUTO or os.path.isdir(os.path.join(folder, "train")),
            f"GCL.STRUCTURE.DIR {folder} has no folder 'train' with the training images'"
            " structures.",
        )


def _check_sites(sites) -> None:
    whole = all(isinstance(site, tuple | list) and len(site) > 0 for site in sites)
    _require(
        whole,
        f"GCL.LABELS.SITES is {sites}: give the cameras of each site in brackets of their own, as"
        " (('gate', 'hall'), ('yard',)).",
    )
    cameras = [str(camera) for site in sites for camera in site]
    twice = [camera for camera in cameras if cameras.count(camera) > 1]
    _require(
        not twice,
        f"GCL.LABELS.SITES has camera {''.join(twice[:1])} twice: a camera is at one site.",
    )


def _check_own_crops(cfg: CN) -> None:
    node, trained = cfg.GCL.DATA, OWN_CROPS in cfg.DATASETS.NAMES
    if not trained:
        for key, value in node.items():
            _require(
                value == (TRACKS[0] if key == "TRACKS" else ""),
                f"GCL.DATA.{key} is {value}, which {OWN_CROPS} alone reads: set DATASETS.NAMES"
                f" \"('{OWN_CROPS}',)\", as projects/GCL/configs/folder.yml does.",
            )
        _require(
            cfg.GCL.STRUCTURE.DIR != AUTO,
            f"GCL.STRUCTURE.DIR {AUTO} is for {OWN_CROPS}: estimate the structures of another data"
            " set by tools/prepare_structure.py.",
        )
        return
    _require(node.FOLDER != "", "GCL.DATA.FOLDER is empty: give the folder of your crops.")
    _require(
        node.TRACKS in TRACKS,
        f"GCL.DATA.TRACKS is {node.TRACKS!r}: choose from {', '.join(TRACKS)}.",
    )
    _require(
        cfg.MODEL.META_ARCHITECTURE == "GCL",
        f"MODEL.META_ARCHITECTURE is {cfg.MODEL.META_ARCHITECTURE}, which learns from identities:"
        f" {OWN_CROPS} has none and trains GCL alone.",
    )
    _require(
        not cfg.DATASETS.COMBINEALL,
        f"DATASETS.COMBINEALL is on, but what {OWN_CROPS} is tested on is never trained on: set it"
        " to False.",
    )
    _require(
        (node.QUERY == "") == (node.GALLERY == ""),
        "GCL.DATA.QUERY and GCL.DATA.GALLERY make a test together: give both or none.",
    )
    for key in ("QUERY", "GALLERY"):
        _require(
            node[key] == "" or os.path.isdir(node[key]),
            f"GCL.DATA.{key} {node[key]} is no folder.",
        )


def _check_source(cfg: CN) -> None:
    node = cfg.GCL.SOURCE
    if not node.NAMES:
        _require(
            node.ROOT == "",
            f"GCL.SOURCE.ROOT is {node.ROOT}, but GCL.SOURCE.NAMES is empty: name the data sets"
            " that lie there, or leave it out.",
        )
        return
    _require(
        OWN_CROPS not in node.NAMES,
        f"GCL.SOURCE.NAMES has {OWN_CROPS}, of which nobody knows identities: name a labelled set.",
    )
    _require(
        cfg.MODEL.META_ARCHITECTURE == "GCL",
        f"MODEL.META_ARCHITECTURE is {cfg.MODEL.META_ARCHITECTURE}, which learns from identities of"
        " DATASETS.NAMES: name GCL.SOURCE.NAMES there.",
    )
    _require(
        bool({"contrast", "joint"} & set(cfg.GCL.PHASES)),
        "GCL.SOURCE.NAMES is set, but none of GCL.PHASES teaches E_id: add contrast or joint.",
    )
    _require(
        node.ROOT == "" or os.path.isdir(node.ROOT), f"GCL.SOURCE.ROOT {node.ROOT} is no folder."
    )
    scale = cfg.MODEL.LOSSES.SOURCE.SCALE
    _require(
        scale > 0,
        f"MODEL.LOSSES.SOURCE.SCALE is {scale}: it must be above 0; without a source,"
        " GCL.SOURCE.NAMES is ().",
    )


def check_batches(cfg: CN, num_processes: int) -> None:
    """Stop on batches that processes can not share, or that no identity can be learnt from.

    Raises:
        ConfigError: one sentence that names the key and says what to set.
    """
    sizes = {
        "joint": ("SOLVER.IMS_PER_BATCH", cfg.SOLVER.IMS_PER_BATCH),
        "contrast": ("GCL.CONTRAST.IMS_PER_BATCH", cfg.GCL.CONTRAST.IMS_PER_BATCH),
        "generator": ("GCL.GENERATOR.IMS_PER_BATCH", cfg.GCL.GENERATOR.IMS_PER_BATCH),
    }
    taught = {*cfg.GCL.PHASES} - {"generator"}
    if cfg.GCL.SOURCE.NAMES:
        sizes["source"] = ("GCL.SOURCE.BATCH", cfg.GCL.SOURCE.BATCH)
        taught.add("source")
    k = cfg.DATALOADER.NUM_INSTANCE
    for phase, (key, size) in sizes.items():
        _require(
            size % num_processes == 0,
            f"{key} is {size}: the number of processes, {num_processes}, must divide it.",
        )
        if phase not in taught:
            continue
        whose = "the source" if phase == "source" else f"the phase {phase}"
        # batch norm has no statistics of one image
        _require(
            size >= 2 * num_processes,
            f"{key} is {size}, one image for each process: {whose} needs at least two,"
            f" set it to {2 * num_processes} or more.",
        )
        _require(
            k <= size,
            f"DATALOADER.NUM_INSTANCE is {k}, but a batch of {whose} has {size} images"
            f" ({key}): lower the former to at most half of the latter, so that there are two"
            " people in a batch.",
        )


def check_pretraining_cfg(cfg: CN) -> None:
    """Stop on values of tools/pretrain_generator.py that can not work.

    Raises:
        ConfigError: one sentence that names the key and says what to set.
    """
    node = cfg.PRETRAIN
    _check_device(cfg)
    _require("generator" in cfg.GCL.PHASES, "GCL.PHASES must contain generator to pre-train one.")
    names = cfg.MODEL.LOSSES.NAME
    unknown = [repr(name) for name in names if name not in PRETRAINING_LOSSES]
    _require(
        not unknown,
        f"MODEL.LOSSES.NAME contains {', '.join(unknown)}, which pre-training does not know:"
        f" choose from {', '.join(PRETRAINING_LOSSES)}.",
    )
    _require(
        "R1Penalty" not in names or "AdversarialLoss" in names,
        "MODEL.LOSSES.NAME has R1Penalty without AdversarialLoss, without which there is no"
        " discriminator to penalise: add AdversarialLoss or take R1Penalty out.",
    )
    for key, value, least in (
        ("SEED", cfg.SEED, 0),
        ("PRETRAIN.PEOPLE", node.PEOPLE, 1),
        ("PRETRAIN.WORKERS", node.WORKERS, 0),
        ("PRETRAIN.STEPS", node.STEPS, 1),
        ("PRETRAIN.CHECKPOINT_PERIOD", node.CHECKPOINT_PERIOD, 1),
        ("PRETRAIN.PERCEPTUAL", node.PERCEPTUAL, 0),
        ("MODEL.LOSSES.R1.EVERY", cfg.MODEL.LOSSES.R1.EVERY, 1),
        ("GCL.GENERATOR.IMS_PER_BATCH", cfg.GCL.GENERATOR.IMS_PER_BATCH, 1),
    ):
        _require(value >= least, f"{key} is {value}: it must be at least {least}.")
    _require(
        node.STEPS % node.CHECKPOINT_PERIOD == 0,
        f"PRETRAIN.STEPS is {node.STEPS}: PRETRAIN.CHECKPOINT_PERIOD, {node.CHECKPOINT_PERIOD},"
        " must divide it.",
    )
    _require(node.LR > 0, f"PRETRAIN.LR is {node.LR}: it must be above 0.")
    _require(
        0 <= node.OWN <= 1, f"PRETRAIN.OWN is {node.OWN}: a share of the batch must be in [0, 1]."
    )
    _check_generator(cfg)


def _check_device(cfg: CN) -> None:
    _require(
        str(cfg.MODEL.DEVICE).split(":")[0] != "cuda" or torch.cuda.is_available(),
        f"MODEL.DEVICE is {cfg.MODEL.DEVICE} but this machine has no usable GPU:"
        " set MODEL.DEVICE cpu.",
    )


def _check_generator(cfg: CN) -> None:
    for key, name, ours in (
        ("GCL.GENERATOR.NAME", cfg.GCL.GENERATOR.NAME, "ViewGenerator, AttentionViewGenerator"),
        ("GCL.DISCRIMINATOR.NAME", cfg.GCL.DISCRIMINATOR.NAME, "MultiScaleDiscriminator"),
    ):
        try:
            REID_HEADS_REGISTRY.get(name)
        except KeyError as error:
            raise ConfigError(
                f"{key} is {name!r}, which is not in REID_HEADS_REGISTRY: choose from {ours}, or"
                " register your own."
            ) from error
    height, width = generator_size(cfg)
    _require(
        height % 4 == 0 and width % 4 == 0 and height > 0 and width > 0,
        f"GCL.GENERATOR.SIZE (or INPUT.SIZE_TRAIN) is {height} x {width}: the generator's"
        " stride of 4 must divide both sides.",
    )
    scales = cfg.GCL.DISCRIMINATOR.NUM_SCALES
    _require(
        min(height, width) >= 8 * 2 ** (scales - 1),
        f"GCL.DISCRIMINATOR.NUM_SCALES is {scales}: views of {height} x {width} are too small,"
        " as the last scale needs 8 pixels a side;"
        f" set it to {max(min(height, width) // 8, 1).bit_length()}.",
    )


def generator_size(cfg: CN) -> tuple[int, int]:
    """(height, width) in pixels at which views are drawn."""
    height, width = cfg.GCL.GENERATOR.SIZE
    return (height, width) if height > 0 and width > 0 else tuple(cfg.INPUT.SIZE_TRAIN)

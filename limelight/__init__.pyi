"""Types of the public names, which limelight/__init__.py loads when they are asked for."""

from limelight.cosmology import Cosmology as Cosmology
from limelight.data.shard import read_shards as read_shards
from limelight.data.shard import write_shard as write_shard
from limelight.errors import LimelightError as LimelightError
from limelight.evaluation.audit_file import read_audit as read_audit
from limelight.evaluation.evaluation_file import read_evaluation as read_evaluation
from limelight.halos.catalogue import read_catalogue as read_catalogue
from limelight.halos.catalogue import tangent_plane_deg as tangent_plane_deg
from limelight.halos.config import Lightcones as Lightcones
from limelight.halos.generator import generate_lightcone as generate_lightcone
from limelight.inference.intervals import read_intervals as read_intervals
from limelight.inference.posteriors.posterior import load_posterior as load_posterior
from limelight.probes.line_intensity.answer import predict as predict
from limelight.probes.line_intensity.lines.models import get_model as get_model
from limelight.probes.line_intensity.maps.grid import Grid as Grid
from limelight.probes.line_intensity.maps.paint import paint as paint
from limelight.stages.audit import audit as audit
from limelight.stages.evaluate import evaluate as evaluate
from limelight.stages.posterior import draw_posterior as draw_posterior
from limelight.stages.posterior import train_posterior as train_posterior
from limelight.stages.simulate import simulate as simulate
from limelight.stages.train import train as train
from limelight.study.config import load_study as load_study
from limelight.training.checkpoint import load_model as load_model

__version__: str

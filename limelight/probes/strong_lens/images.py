"""Images of lenses and of galaxies that are none, without noise, in flux per pixel (magnitude 30 is a flux of 1).

The surface brightness is lenstronomy's (Birrer et al. 2018, 2021): a singular isothermal ellipsoid, a Sérsic profile of
n = 4 for the light of the lens and one of n = 1 for the source. Here it is summed over bands and convolved with their PSFs
in Fourier space, which is faster than lenstronomy's own image simulation; a test holds the two together. Images are
(band, x, y).
"""

import numpy as np
import scipy.fft

from limelight.probes.strong_lens.config import Camera

BANDS = ("g", "r", "i")
ANSWERED = ("theta_E", "e1", "e2", "source_x", "source_y")
OF_LENS = ("x", "y", "ln_radius", "light_e1", "light_e2", "mag", "g_r", "r_i")
OF_SOURCE = ("source_ln_radius", "source_e1", "source_e2", "source_mag", "source_g_r", "source_r_i")
PARAMETERS = (*ANSWERED, *OF_LENS, *OF_SOURCE)  # of an image of a lens
LENS_N, SOURCE_N = 4.0, 1.0  # Sérsic's indices
APERTURE_ARCSEC = 1.95  # diameter in which a survey tells its depth
CUSP, FINE = 2.6, 7  # pixels from the middle within which the lens's light is sampled on FINE² points a pixel
BLUE = 2  # all that is blue, arcs among it, is sampled on BLUE² points a pixel
Shape = tuple[float, float, float, float, float]  # radius, e1, e2, x, y of a galaxy, arcsec


def flux(mag: np.ndarray) -> np.ndarray:
    """Of a magnitude."""
    return 10 ** (0.4 * (30 - np.asarray(mag)))


def fluxes(mag: float, g_r: float, r_i: float) -> np.ndarray:
    """In g, r and i (3,), of a magnitude in i and colours."""
    return flux([mag + r_i + g_r, mag + r_i, mag])


def sky_sigma(camera: Camera) -> np.ndarray:
    """σ of the sky's noise per pixel in each band (3,)."""
    pixels = np.pi / 4 * APERTURE_ARCSEC**2 / camera.pixel_arcsec**2
    return flux(camera.depth_mag) / 10 / np.sqrt(pixels)


def variance(image: np.ndarray, camera: Camera) -> np.ndarray:
    """Of the noise of each pixel of images (…, 3, n, n): of the sky, and of the image's own light."""
    return sky_sigma(camera)[:, None, None] ** 2 + np.maximum(image, 0) / camera.electrons


class Painter:
    """Paints images for one camera."""

    def __init__(self, camera: Camera):
        from lenstronomy.LensModel.lens_model import LensModel
        from lenstronomy.LightModel.light_model import LightModel
        from lenstronomy.LightModel.Profiles.sersic import Sersic

        self.mass, self.light, self.profile = LensModel(["SIE"]), LightModel(["SERSIC_ELLIPSE"]), Sersic()
        n, side = camera.pixels, camera.pixel_arcsec
        self.shape, self.area = (n, n), side**2
        line = (np.arange(n) - (n - 1) / 2) * side
        self.x, self.y = (each.ravel() for each in np.meshgrid(line, line, indexing="ij"))
        self.middle = np.flatnonzero((np.abs(self.x) < CUSP * side) & (np.abs(self.y) < CUSP * side))
        dx, dy = _within(FINE, side)
        self.fine = (self.x[self.middle, None] + dx).ravel(), (self.y[self.middle, None] + dy).ravel()
        dx, dy = _within(BLUE, side)
        self.blue = (self.x[:, None] + dx).ravel(), (self.y[:, None] + dy).ravel()
        self.wide = scipy.fft.next_fast_len(n + int(np.ceil(max(camera.psf_fwhm_arcsec) * 3 / side)), real=True)
        k = 2 * np.pi * np.fft.fftfreq(self.wide, side), 2 * np.pi * np.fft.rfftfreq(self.wide, side)
        k2 = k[0][:, None] ** 2 + k[1] ** 2
        sigma = np.array(camera.psf_fwhm_arcsec) / np.sqrt(8 * np.log(2))
        self.transfer = np.exp(-0.5 * k2 * sigma[:, None, None] ** 2)

    def lens(self, parameters: np.ndarray) -> np.ndarray:
        """Image (3, n, n) of a lens and its source; parameters (19,), see PARAMETERS."""
        theta_e, e1, e2, source_x, source_y, x, y, ln_radius, light_e1, light_e2 = parameters[:10]
        ln_source, source_e1, source_e2 = parameters[13:16]
        mass = {"theta_E": theta_e, "e1": e1, "e2": e2, "center_x": x, "center_y": y}
        places = self.mass.ray_shooting(*self.blue, [mass])
        source = np.exp(ln_source), source_e1, source_e2, source_x, source_y
        parts = [self.cusp((np.exp(ln_radius), light_e1, light_e2, x, y)), self.disc(source, *places)]
        return self.seen(parts, [fluxes(*parameters[10:13]), fluxes(*parameters[16:19])])

    def galaxy(self, parameters: np.ndarray, others: list[tuple[Shape, np.ndarray]]) -> np.ndarray:
        """Image (3, n, n) of the lens alone, unlensed galaxies or discs beside it: (shape, fluxes (3,)) each."""
        x, y, ln_radius, light_e1, light_e2 = parameters[5:10]
        parts = [self.cusp((np.exp(ln_radius), light_e1, light_e2, x, y))]
        parts += [self.disc(shape, *self.blue) for shape, _ in others]
        return self.seen(parts, [fluxes(*parameters[10:13]), *(one for _, one in others)])

    def brightness(self, shape: Shape, index: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Flux per pixel at points (m,) of a Sérsic profile whose whole flux is 1."""
        radius, e1, e2, centre_x, centre_y = shape
        amp = self.area / self.profile.total_flux(1.0, radius, index)
        profile = {"amp": amp, "R_sersic": radius, "n_sersic": index, "e1": e1, "e2": e2}
        return self.light.surface_brightness(x, y, [{**profile, "center_x": centre_x, "center_y": centre_y}])

    def cusp(self, shape: Shape) -> np.ndarray:
        """The lens's own light (n, n): its cusp needs more than one point in a pixel."""
        image = self.brightness(shape, LENS_N, self.x, self.y)
        image[self.middle] = self.brightness(shape, LENS_N, *self.fine).reshape(-1, FINE**2).mean(axis=1)
        return image.reshape(self.shape)

    def disc(self, shape: Shape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Light of n = 1 (n, n) where the rays of the points `blue` come from x, y."""
        return self.brightness(shape, SOURCE_N, x, y).reshape(-1, BLUE**2).mean(axis=1).reshape(self.shape)

    def seen(self, parts: list[np.ndarray], of_bands: list[np.ndarray]) -> np.ndarray:
        """Parts (n, n) with their fluxes (3,) each, in every band, behind its PSF: (3, n, n)."""
        waves = scipy.fft.rfft2(np.stack(parts), (self.wide, self.wide))
        all_bands = np.einsum("kb,kxy->bxy", np.stack(of_bands), waves) * self.transfer
        n = self.shape[0]
        return scipy.fft.irfft2(all_bands, (self.wide, self.wide))[:, :n, :n]


def _within(count: int, side: float) -> tuple[np.ndarray, np.ndarray]:
    """x and y (count²,) of even points within a pixel, from its middle."""
    line = ((np.arange(count) + 0.5) / count - 0.5) * side
    x, y = np.meshgrid(line, line, indexing="ij")
    return x.ravel(), y.ravel()

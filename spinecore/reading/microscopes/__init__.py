"""Files as microscopes write them (CZI, LIF, ND2, OIB, OIF, IMS, OME-Zarr), read plane by plane."""

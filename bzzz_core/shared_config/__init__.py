"""Configuration of the whole cluster: one record of the control stream, under UCXL addresses."""

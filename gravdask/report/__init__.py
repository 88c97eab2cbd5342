"""What a person reads: one HTML page with figures inside, and CSV tables beside it."""

from __future__ import annotations

from gravdask.report.data import ModelSection, ReportData, Waveform
from gravdask.report.page import build_report
from gravdask.report.tables import write_csv_tables

__all__ = ["ModelSection", "ReportData", "Waveform", "build_report", "write_csv_tables"]

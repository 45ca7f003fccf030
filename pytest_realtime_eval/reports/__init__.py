"""From records to tables, summaries, plots and pages."""

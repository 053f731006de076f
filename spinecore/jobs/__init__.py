"""Work that goes on while pages are looked at: analyses and trainings, queued and done in processes of their own."""

"""Work that goes on while a page is looked at: analyses and trainings in processes of their own."""

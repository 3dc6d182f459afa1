"""Large values by their content: kept, fetched in verified chunks, collected when not needed."""

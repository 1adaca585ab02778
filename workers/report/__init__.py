"""Reports as one self-contained HTML file each: tables and inline SVG, nothing fetched and no script."""

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QR codes as inline SVG for web pages: without files, scripts and style attributes.
 */
#ifndef PROXY_QR_H
#define PROXY_QR_H

#include "base/buf.h"

enum { QR_TEXT_MAX = 1 * KiB };

/* Loads libqrencode (base/library.h), before the sandbox. FAILED_PRECONDITION if it is missing. */
struct error *qr_load(void) MUST_USE;

/*
 * Writes an <svg> of the text, black on white with its quiet zone, with `label` for screen readers (it is not escaped).
 * INVALID_ARGUMENT, and nothing is written, when the text is empty or longer than QR_TEXT_MAX.
 */
struct error *qr_put_svg(struct buf *out, struct str text, const char *label) MUST_USE;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clear-Site-Data in responses that pass a gateway (https://www.w3.org/TR/clear-site-data/).
 *
 * Browsers clear cookies for the whole registrable domain: those of the cluster and of all applications beside the one that answers. All other kinds of
 * data are those of the origin of the response alone.
 */
#ifndef HTTP_SITE_DATA_H
#define HTTP_SITE_DATA_H

#include "http/fields.h"

/*
 * Makes the Clear-Site-Data fields of a response one field with the kinds of data that belong to its origin; "*" stands for all of these. Items that are none of
 * them, in their exact spelling, are removed, as browsers differ in what they accept; the field is removed if none is left.
 */
struct error *http_site_data_confine(struct http_fields *f) MUST_USE;

#endif

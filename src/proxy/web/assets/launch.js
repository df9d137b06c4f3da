// SPDX-License-Identifier: Apache-2.0
// Sends the form of the launch page at once; its button does the same without scripts.
document.getElementById("launch").submit();

// The settings of this run, read once and shared by all VUs: otherwise each of thousands of VUs would hold a copy.
import { SharedArray } from 'k6/data';
import { read } from './settings.js';

export const config = new SharedArray('settings', () => [read()])[0];
